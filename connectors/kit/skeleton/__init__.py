"""Templates of `syncline new connector`: see `connectors.kit.scaffold`."""
