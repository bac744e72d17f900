"""The only attention of ldmlab: one function, which a control may look into, over interchangeable backends."""
