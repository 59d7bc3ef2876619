"""A toy chat model, trained from generated data, that the demo and the tests run."""
