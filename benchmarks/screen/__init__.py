"""What a reader sees while answers grow in one place, in virtual time on the tests' strict platform."""
