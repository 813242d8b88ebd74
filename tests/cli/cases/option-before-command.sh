eckart --json svd A.npy
