"""An admin back end that knows no business module: it finds them through their entry points."""
