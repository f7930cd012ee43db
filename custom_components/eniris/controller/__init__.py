"""The controller in the house: the live values that it pushes, and the schedules that it takes."""
