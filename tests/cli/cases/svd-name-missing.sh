eckart svd two.npz
