"""What is done to the model: EN, LOC and Surgical Steering, their control arms, linear maps."""
