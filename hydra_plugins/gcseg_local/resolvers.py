"""The resolvers of conf/, known to Hydra wherever it composes: it imports its plugins first."""

from gcseg.config.compose import register_resolvers

register_resolvers()
