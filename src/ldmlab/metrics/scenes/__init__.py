"""What a verifier reads back from drawn scenes."""
