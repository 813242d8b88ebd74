eckart svd low.npy --subspaces
