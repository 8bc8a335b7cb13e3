"""What `zoo.errors` held."""

from zoo.messages.errors import CheckpointError as CheckpointError
from zoo.messages.errors import NoEffectError as NoEffectError
from zoo.messages.errors import NotApplicableError as NotApplicableError
from zoo.messages.errors import OptionError as OptionError
from zoo.messages.errors import PluginError as PluginError
from zoo.messages.errors import PluginWarning as PluginWarning
from zoo.messages.errors import ShapeError as ShapeError
from zoo.messages.errors import SpecError as SpecError
from zoo.messages.errors import UnknownNameError as UnknownNameError
from zoo.messages.errors import ZooError as ZooError
