"""What tests/bench/bench is made of: who is measured, by what, how, and how it is told."""
