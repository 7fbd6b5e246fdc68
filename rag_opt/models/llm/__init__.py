"""Language models: settings, client, budget, prompts and structured output."""
