"""What `zoo.edits` held."""

from zoo.surgery.edits import After as After
from zoo.surgery.edits import Before as Before
