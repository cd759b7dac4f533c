"""Alarms in the database: rules and sinks as data, the life of an alarm, the outbox."""
