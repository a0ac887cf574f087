"""The question's two programs (stats.stackexchange.com, question 200063, 2016), line by line in PyTorch.

TensorFlow 1                                                   here
tf.train.AdamOptimizer(1e-4).minimize(loss)                    AdamOptimizer(params, 1e-4).minimize(loss)

step = tf.Variable(0, trainable=False)                         the optimizer's own counter
rate = tf.train.exponential_decay(0.15, step, 1, 0.9999)       rate = exponential_decay(0.15, 1, 0.9999)
tf.train.AdamOptimizer(rate).minimize(loss, global_step=step)  AdamOptimizer(params, rate).minimize(loss)
"""

import torch
from torch.nn.functional import cross_entropy

from tapered.tensorflow1 import AdamOptimizer, exponential_decay
from tapered.workloads import bmi


def train(learning_rate, steps=300):
    workload = bmi()  # heights and weights; is the body-mass index above 27?
    model = workload.build(seed=0)
    optimizer = AdamOptimizer(model.parameters(), learning_rate)
    for step in range(steps):
        inputs, labels = workload.train[workload.batch(seed=0, step=step)]
        optimizer.minimize(cross_entropy(model(inputs), labels))
    with torch.no_grad():
        inputs, labels = workload.valid[:]
        return optimizer, cross_entropy(model(inputs), labels).item()


for name, rate in {"1e-4": 1e-4, "0.15 * 0.9999^step": exponential_decay(0.15, 1, 0.9999)}.items():
    optimizer, loss = train(rate)
    print(f"{name:20} step {optimizer.steps}, rate {optimizer.last_lr[0]:.4f}, validation loss {loss:.3f}")
