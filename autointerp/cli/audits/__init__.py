"""What `autointerp audit` does: one file an action, with NAME, HELP, add_arguments(parser), run(args)."""
