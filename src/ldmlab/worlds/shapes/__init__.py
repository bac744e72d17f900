"""The world of drawn scenes: a scene, its picture, its caption, and a verifier that reads pictures back."""
