"""Pictures as files: contact sheets, heat maps, PNG with their settings inside."""
