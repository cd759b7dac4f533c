"""The alarm service: reads the record, raises and clears alarms, tells sinks."""
