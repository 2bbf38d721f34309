"""A sample company: an online shop and restaurants, delivered as a real company would deliver them.

`plan.SamplePlan` says what to make, `generator.generate` writes it.
"""
