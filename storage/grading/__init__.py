"""From defects to a grade: profiles, points, grades and cut plans. Pure functions; only `profile_store` and `stored`
know the database."""
