"""What `zoo.edits` held."""

from zoo.surgery.insert import After as After
from zoo.surgery.insert import Before as Before
