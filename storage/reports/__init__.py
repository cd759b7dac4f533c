"""Papers: a roll's certificate, the reports of shifts and days; as PDF, XLSX, CSV and JSON."""
