"""The networks of a JEPA: encoders, heads, and copies that follow slowly."""
