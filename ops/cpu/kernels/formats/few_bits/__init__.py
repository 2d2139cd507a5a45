"""One or two bits a weight, or a trit, with one scale a block."""
