"""What secret values look like in the output of programs: their forms, pieces of them, and the layers around them."""
