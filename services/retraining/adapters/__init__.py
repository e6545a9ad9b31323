"""The process that trains, the folder of trainings, recipes in files, and the clock."""
