"""Customer data moves in: audit, plan, dry run, run, certificate, undo. (Schema changes are *revisions*, in storage.)"""
