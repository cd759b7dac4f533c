"""From fragments to defects: merging, form, periodic series. Pure modules; `merging` and `series` work on tables."""
