"""Extensions: one module, one component."""
