"""The questions the screens ask, as plain functions of the database, one file a screen. Nothing here writes."""
