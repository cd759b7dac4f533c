"""From fragments to defects: merging, geometry, periodic defects. Pure modules, and `merging` and `series` over tables."""
