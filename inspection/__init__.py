"""The words every stage shares: types, tile geometry, wire format, settings, logging. Imports nothing of ours."""
