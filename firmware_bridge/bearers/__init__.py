"""Ways from our own mesh stack to the mesh: through a GATT proxy like a phone, or onto a simulated air."""
