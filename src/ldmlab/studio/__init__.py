"""What `ldmlab sample`, `edit` and `attention` do: pictures drawn, written with their settings, and laid out."""
