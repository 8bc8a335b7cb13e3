"""Where things stood in earlier versions, for pickles that name them: `zoo_modifiers._heads.Heads` and its like."""
