eckart svd A.npy --enrgy 0.9
