"""What sources say: from where modules are, through their syntax trees, to records; nothing that is read is trusted."""
