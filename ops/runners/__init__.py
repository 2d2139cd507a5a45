"""What runs programs: the face that all share, and compositions of runners."""
