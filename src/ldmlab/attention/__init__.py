"""The only attention of ldmlab: interchangeable backends, one module, and the control protocol for editing."""
