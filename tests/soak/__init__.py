"""Many random faults over one server that moves money: nothing may be lost, and nothing may be left behind."""
