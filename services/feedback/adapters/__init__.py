"""Where facts are kept, how they are written together, and who writes what follows from them."""
