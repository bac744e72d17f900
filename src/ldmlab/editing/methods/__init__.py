"""Ways to edit a picture: each a class and a yaml in conf/method/."""
