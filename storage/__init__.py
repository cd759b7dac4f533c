"""What lasts or is shared: tables, rolls, models, samples, pictures, jobs, live figures. Imports `inspection` only."""
