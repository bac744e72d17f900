"""Pictures that a user gives, to be measured or to compare with: folders, and arrays in .npz files."""
