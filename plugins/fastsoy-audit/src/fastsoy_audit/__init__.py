"""A record of every employee event: a business module that listens to all of them."""
