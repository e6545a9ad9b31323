"""The second half of the tour: what people say of answers becomes a model that answers so, and is guarded."""
