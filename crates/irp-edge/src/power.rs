//! Power: how an edge ends its machine.
