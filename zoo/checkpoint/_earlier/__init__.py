"""Where things stood in earlier versions, for pickles that name them: `zoo.info.Info` and its like."""
