"""What every part of tillhouse may know: where things are, how errors look, who may write."""
