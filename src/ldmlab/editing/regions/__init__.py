"""Drawing a part of a picture anew: masks, canvases, and what is known around them."""
