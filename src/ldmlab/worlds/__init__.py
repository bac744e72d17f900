"""What draws captioned pictures, and reads them back."""
