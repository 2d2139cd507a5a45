"""Files of ours: whose a file is, and replacing one as a whole."""
